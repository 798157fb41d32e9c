mock_provider "aws" {
  source = "../tests/mocks"
}

override_resource {
  target = aws_acm_certificate.shared
  values = {
    domain_validation_options = [
      { domain_name = "decisions.pay.example.com", resource_record_name = "_1.pay.example.com", resource_record_type = "CNAME", resource_record_value = "_1.acm-validations.aws" },
    ]
  }
}

variables {
  domain         = "pay.example.com"
  alarm_address  = "oncall@example.com"
  budget_dollars = 100000
}

run "is_applied" {
  command = apply

  assert {
    condition     = output.switches == "stepdown-123456789012-switches"
    error_message = "The switches must be where the regions' health checks look for them."
  }

  assert {
    condition     = aws_acm_certificate.shared.domain_name == "decisions.pay.example.com" && aws_route53_record.shared_proof.name == "_1.pay.example.com"
    error_message = "The proof of the shared name must be here, where no region's end takes it away."
  }

  assert {
    condition     = [for one in aws_ecr_replication_configuration.this.replication_configuration[0].rule[0].destination : one.region] == keys(module.topology.regions)
    error_message = "Images must be brought to every region of the topology."
  }
}

run "refuses_a_control_region_that_serves" {
  command = plan
  variables {
    control_region = "us-east-1"
  }
  expect_failures = [var.control_region]
}

run "refuses_a_budget_of_nothing" {
  command = plan
  variables {
    budget_dollars = 0
  }
  expect_failures = [var.budget_dollars]
}
