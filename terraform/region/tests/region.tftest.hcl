# Other regions are planned, and what cannot be is refused with a sentence.

mock_provider "aws" {
  source = "../tests/mocks"
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

run "another_region_is_planned_with_its_copies" {
  command = plan
  variables {
    region        = "ap-southeast-1"
    copies        = { us-east-1 = "copy-1:6379", eu-west-1 = "copy-2:6379" }
    alarm_address = "other@example.com"
  }

  assert {
    condition     = startswith(aws_route53_record.shared.set_identifier, "ap-southeast-1")
    error_message = "A region must have a latency record of its own."
  }
}

run "refuses_a_region_that_the_topology_lacks" {
  command = plan
  variables {
    region = "sa-east-1"
  }
  expect_failures = [var.region]
}

run "refuses_an_image_by_tag" {
  command = plan
  variables {
    image = "stepdown/service:latest"
  }
  expect_failures = [var.image]
}

run "refuses_a_small_node_a_lone_zone_and_a_primary_without_a_replica" {
  command = plan
  variables {
    store_node   = "cache.t4g.medium"
    zone_letters = ["a"]
    store_nodes  = 1
  }
  expect_failures = [var.store_node, var.zone_letters, var.store_nodes]
}

run "refuses_a_copy_of_itself" {
  command = plan
  variables {
    copies = { us-east-1 = "somewhere:6379" }
  }
  expect_failures = [var.copies]
}

run "refuses_three_passwords" {
  command = plan
  variables {
    datastore_passwords = ["1", "2", "3"]
  }
  expect_failures = [var.datastore_passwords]
}
