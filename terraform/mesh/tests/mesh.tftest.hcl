mock_provider "aws" {
  source = "../tests/mocks"
}

variables {
  region = "us-east-1"
}

run "joins_nobody_at_first" {
  command = plan

  assert {
    condition     = length(output.copies) == 0 && output.copy_nodes == 0
    error_message = "A region that has joined nobody must have no copies."
  }
}

run "joins_one_region_and_copies_its_record" {
  command = apply
  variables {
    joined             = { eu-west-1 = ["abcde-stepdown-1-0"] }
    record_copy_region = "eu-west-1"
  }

  assert {
    condition     = output.copies == { eu-west-1 = "reader.example.cache.amazonaws.com:6379" }
    error_message = "A copy must be read at its own address in this region."
  }

  assert {
    condition     = aws_s3_bucket_replication_configuration.record["record"].bucket == "stepdown-123456789012-us-east-1-record"
    error_message = "The region's own record must be what is copied."
  }
}

run "leaves_it" {
  command = apply

  assert {
    condition     = length(aws_elasticache_replication_group.copy) == 0
    error_message = "A region that is not joined any more must have no copy here."
  }
}

run "refuses_itself" {
  command = plan
  variables {
    joined = { us-east-1 = ["abcde-stepdown-0-0"] }
  }
  expect_failures = [var.joined]
}

run "refuses_a_region_with_too_few_groups" {
  command = plan
  variables {
    joined = { eu-west-1 = [] }
  }
  expect_failures = [var.joined]
}

run "refuses_to_keep_the_copy_of_the_record_at_home" {
  command = plan
  variables {
    record_copy_region = "us-east-1"
  }
  expect_failures = [var.record_copy_region]
}
