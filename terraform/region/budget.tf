# Tells when the month is going to cost more than was planned for the region.

resource "aws_budgets_budget" "this" {
  name         = "${var.name}-${var.region}"
  budget_type  = "COST"
  limit_amount = tostring(var.budget_dollars)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = ["${local.budget_tag}"]
  }

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }
    content {
      notification_type          = notification.key
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      comparison_operator        = "GREATER_THAN"
      subscriber_email_addresses = [var.alarm_address]
    }
  }
}

locals {
  budget_tag = format("user:Region$%s", var.region) # AWS joins key and value of a tag by a dollar sign
}
