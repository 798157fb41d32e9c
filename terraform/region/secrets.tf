# Secrets never pass through a variable. The datastores' password is made here, by AWS; the two that
# all regions share (who may call, what signs answers) are the operator's, put in once: see
# docs/runbooks/terraform.md.

locals {
  # The file that each is kept in on a host, below the home folder.
  shared_secrets = {
    "keys.json"     = "API keys, hashed, of all callers"
    "secrets/token" = "Signs answers; the same in every region, so that any region's answer verifies"
  }
}

variable "datastore_passwords" {
  description = "Names of the datastores' passwords that are valid, the one in use last: [\"1\"], during a rotation [\"1\", \"2\"], then [\"2\"]."
  type        = list(string)
  default     = ["1"]

  validation { # a user of ElastiCache has two at most
    condition     = contains([1, 2], length(var.datastore_passwords)) && length(distinct(var.datastore_passwords)) == length(var.datastore_passwords)
    error_message = "One or two passwords are valid at a time, each with a name of its own."
  }
}

data "aws_secretsmanager_random_password" "datastore" {
  for_each            = toset(var.datastore_passwords)
  password_length     = 64
  exclude_punctuation = true # it goes into a URL now and then
}

# Drawn once: every plan reads another one. The state holds them, as it would anyway, since
# ElastiCache has no write-only argument: it is encrypted, and who may read it may read the secret.
resource "terraform_data" "datastore_password" {
  for_each = data.aws_secretsmanager_random_password.datastore
  input    = each.value.random_password

  lifecycle {
    ignore_changes = [input]
  }
}

locals {
  passwords       = [for name in var.datastore_passwords : sensitive(terraform_data.datastore_password[name].output)]
  password_in_use = local.passwords[length(local.passwords) - 1]
}

resource "aws_secretsmanager_secret" "datastore" {
  # checkov:skip=CKV2_AWS_57:Rotated by the runbook, with both passwords valid meanwhile
  name                    = "${var.name}/datastore"
  description             = "Password of the region's datastores; docs/runbooks/terraform.md has its rotation"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 7
}

resource "aws_secretsmanager_secret_version" "datastore" {
  secret_id     = aws_secretsmanager_secret.datastore.id
  secret_string = local.password_in_use
}

resource "aws_secretsmanager_secret" "shared" {
  # checkov:skip=CKV2_AWS_57:Must be the same in every region; rotated by the runbook
  for_each                = local.shared_secrets
  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 7
}

# The service logs in without a name, which is the user `default`; what an administrator may do is
# not for a service. Both passwords are valid during a rotation, so no connection is refused.
resource "aws_elasticache_user" "service" {
  user_id       = "${var.name}-service"
  user_name     = "default"
  engine        = "valkey"
  access_string = "on ~* +@all -@admin -@dangerous +info"
  passwords     = local.passwords
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.service.user_id]
}
