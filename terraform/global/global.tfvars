# Yours.
domain         = "example.com"
alarm_address  = "oncall@example.com"
budget_dollars = 60000
