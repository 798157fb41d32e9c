# One region is applied, the others are planned: all against a mocked AWS.

mock_provider "aws" {
  source = "../tests/mocks"
}

override_resource {
  target = module.balancer.aws_acm_certificate.this
  values = {
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/x"
    domain_validation_options = [
      { domain_name = "us-east-1.decisions.pay.example.com", resource_record_name = "_1.pay.example.com", resource_record_type = "CNAME", resource_record_value = "_1.acm-validations.aws" },
      { domain_name = "eu-west-1.decisions.pay.example.com", resource_record_name = "_2.pay.example.com", resource_record_type = "CNAME", resource_record_value = "_2.acm-validations.aws" },
      { domain_name = "ap-southeast-1.decisions.pay.example.com", resource_record_name = "_3.pay.example.com", resource_record_type = "CNAME", resource_record_value = "_3.acm-validations.aws" },
      { domain_name = "decisions.pay.example.com", resource_record_name = "_4.pay.example.com", resource_record_type = "CNAME", resource_record_value = "_4.acm-validations.aws" },
    ]
  }
}

variables {
  region          = "us-east-1"
  domain          = "pay.example.com"
  image           = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepdown/service@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  analytics_image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepdown/analytics@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  agent_image     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepdown/agent@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  endorsing_key   = "mrk-0123456789abcdef0123456789abcdef"
  alarm_address   = "oncall@example.com"
  budget_dollars  = 20000
}

run "a_region_is_applied" {
  command = apply

  assert {
    condition     = output.settings.STEPDOWN_SOURCES == "us-east-1=primary.example.cache.amazonaws.com:6379"
    error_message = "A region that has joined nobody must read its own counters."
  }
}
