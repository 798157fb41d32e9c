# One region is applied against a mocked AWS, and hands on what the service needs.

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
  region         = "us-east-1"
  domain         = "pay.example.com"
  image          = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepdown/service@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  data_image     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepdown/data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  agent_image    = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepdown/agent@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  endorsing_key  = "mrk-0123456789abcdef0123456789abcdef"
  alarm_address  = "oncall@example.com"
  budget_dollars = 20000
}

run "a_region_is_applied" {
  command = apply

  assert {
    condition     = output.settings.STEPDOWN_SOURCES == "us-east-1=primary.example.cache.amazonaws.com:6379"
    error_message = "A region that has joined nobody must read its own counters."
  }

  assert {
    condition     = output.settings.STEPDOWN_STORE == module.store.addresses && output.settings.STEPDOWN_STREAM == "kinesis:${aws_kinesis_stream.this.name}"
    error_message = "Store and stream of the settings must be those that are made."
  }

  assert {
    condition     = output.settings.STEPDOWN_OBJECT_STORAGE == "s3://${module.record.name}/segments" && output.settings.STEPDOWN_ANCHORS == "s3://${module.anchors.name}/heads"
    error_message = "Record and anchors of the settings must be the buckets that are made."
  }

  assert {
    condition     = length(distinct(concat(values(output.host_numbers.scorer), values(output.host_numbers.applier)))) == var.scorer_hosts.max * 3 + 2 && max(concat(values(output.host_numbers.scorer), values(output.host_numbers.applier))...) <= 254
    error_message = "No two hosts of a region may have one number, and a writer has 16 bits."
  }

  assert {
    condition     = output.settings.STEPDOWN_DATASTORE_TLS == "true" && contains(keys(local.secret_ids), "secrets/datastore") && output.settings.STEPDOWN_DATASTORE_PASSWORD_FILE == "/var/lib/stepdown/secrets/datastore"
    error_message = "Datastores must be read over TLS with the password that hosts are given."
  }

  assert {
    condition     = aws_route53_health_check.switch.invert_healthcheck && aws_route53_health_check.switch.resource_path == "/out/us-east-1" && aws_route53_health_check.switch.fqdn == "stepdown-123456789012-switches.s3.us-west-2.amazonaws.com"
    error_message = "The switch must be the object that evacuation writes, and its absence must mean in."
  }

  assert {
    condition     = aws_route53_health_check.region.child_health_threshold == 2 && length(aws_route53_health_check.region.child_healthchecks) == 2
    error_message = "A region must be in only while it answers and its switch says so."
  }

  assert {
    condition     = length(output.global_groups) == module.topology.regions["us-east-1"].shards
    error_message = "Every shard that others read must have a global group."
  }

  assert {
    condition     = alltrue([for template in aws_fis_experiment_template.this : length(template.stop_condition) == 1])
    error_message = "Every experiment must stop by itself."
  }
}
