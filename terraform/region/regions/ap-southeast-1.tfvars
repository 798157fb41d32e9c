region = "ap-southeast-1"

# Yours: domain, address and budget; images and key as the global root tells.
domain         = "example.com"
alarm_address  = "oncall@example.com"
budget_dollars = 20000
endorsing_key  = "mrk-00000000000000000000000000000000"
image          = "000000000000.dkr.ecr.ap-southeast-1.amazonaws.com/stepdown/service@sha256:0000000000000000000000000000000000000000000000000000000000000000"
data_image     = "000000000000.dkr.ecr.ap-southeast-1.amazonaws.com/stepdown/data@sha256:0000000000000000000000000000000000000000000000000000000000000000"
agent_image    = "000000000000.dkr.ecr.ap-southeast-1.amazonaws.com/stepdown/agent@sha256:0000000000000000000000000000000000000000000000000000000000000000"

# Once the mesh root has joined others: its output copies.
copies = {}
