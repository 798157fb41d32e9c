run "reads_the_topology_of_the_service" {
  command = plan

  variables {
    domain = "pay.example.com"
  }

  assert {
    condition     = output.regions["us-east-1"].number == 0
    error_message = "us-east-1 must keep number 0: it is in every decision id made there."
  }

  assert {
    condition     = output.regions["eu-west-1"].endpoint == "eu-west-1.decisions.pay.example.com"
    error_message = "An endpoint must be made of the region and the domain."
  }

  assert {
    condition     = output.regions["us-east-1"].replicate_to == tolist(["ap-southeast-1", "eu-west-1"])
    error_message = "A datastore must be replicated to the other regions that read it."
  }
}

run "knows_a_link_from_both_ends" {
  command = plan

  assert {
    condition     = output.round_trip_ms["us-east-1/eu-west-1"] == 80 && output.round_trip_ms["eu-west-1/us-east-1"] == 80
    error_message = "A round trip must be the same in both directions."
  }
}

run "refuses_two_regions_with_one_number" {
  command = plan

  variables {
    topology_file = "tests/one_number_twice.yaml"
  }

  expect_failures = [output.regions]
}

run "refuses_regions_without_a_link" {
  command = plan

  variables {
    topology_file = "tests/no_link.yaml"
  }

  expect_failures = [output.round_trip_ms]
}

run "refuses_a_domain_that_is_no_host_name" {
  command = plan

  variables {
    domain = "not a domain"
  }

  expect_failures = [var.domain]
}
