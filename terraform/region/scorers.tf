# The hosts, the programs on them, and the balancer before them.

locals {
  fleet_regions = coalesce(var.regions_of_fleet, length(module.topology.regions))

  # Every STEPDOWN_* variable, the same for all programs of the region (app/settings.py).
  settings = {
    STEPDOWN_HOME                    = local.home
    STEPDOWN_REGION                  = var.region
    STEPDOWN_PROFILE                 = var.profile
    STEPDOWN_API_HOST                = "0.0.0.0" # the security group lets the balancer in, and nobody else
    STEPDOWN_API_PORT                = tostring(local.api_port)
    STEPDOWN_API_TLS                 = "true" # from the balancer on, too
    STEPDOWN_OPERATIONS_PORT         = tostring(local.operations_port)
    STEPDOWN_WORKERS                 = tostring(var.scorer_workers)
    STEPDOWN_FLEET_HOSTS             = tostring(var.scorer_hosts.max * length(local.zones) * local.fleet_regions) # too many errs on the side of less risk
    STEPDOWN_ENDPOINTS               = join(",", [for name, region in module.topology.regions : "${name}=https://${region.endpoint}"])
    STEPDOWN_SOURCES                 = join(",", concat(["${var.region}=${module.store.addresses}"], [for name in sort(keys(var.copies)) : "${name}=${var.copies[name]}"]))
    STEPDOWN_STORE                   = module.store.addresses
    STEPDOWN_STREAM                  = "kinesis:${aws_kinesis_stream.this.name}"
    STEPDOWN_OBJECT_STORAGE          = "s3://${module.record.name}/segments"
    STEPDOWN_ANCHORS                 = "s3://${module.anchors.name}/heads"
    STEPDOWN_OBJECT_LOCK             = var.record_lock.mode
    STEPDOWN_OBJECT_LOCK_DAYS        = tostring(var.record_lock.days)
    STEPDOWN_FOLLOW                  = "stream" # the journals of all hosts, which share no disk
    STEPDOWN_HOST_FILE               = "${local.home}/host"
    STEPDOWN_DATASTORE_TLS           = "true"
    STEPDOWN_DATASTORE_PASSWORD_FILE = "${local.home}/secrets/datastore"
  }

  secret_ids = merge(
    { "secrets/datastore" = aws_secretsmanager_secret.datastore.arn },
    { for file, secret in aws_secretsmanager_secret.shared : file => secret.arn },
  )

  host = {
    region              = var.region
    account             = local.account
    cluster             = var.name
    volume_gb           = var.volume_gb
    subnets             = module.network.private_subnets
    security_group      = aws_security_group.hosts.id
    home                = local.home
    user                = local.user
    secret_ids          = local.secret_ids
    models_bucket       = module.models.name
    key_arn             = aws_kms_key.this.arn
    deletion_protection = var.deletion_protection
    tags                = local.tags # default tags do not reach what autoscaling starts
  }
}

module "scorer_hosts" {
  source              = "../modules/hosts"
  name                = "${var.name}-scorer"
  role                = "scorer"
  instance_type       = var.scorer_host
  hosts_min           = var.scorer_hosts.min
  hosts_max           = var.scorer_hosts.max
  numbers             = { for place, zone in local.zones : zone => 40 * place } # 40 a zone at most, of 6
  region              = local.host.region
  account             = local.host.account
  cluster             = local.host.cluster
  volume_gb           = local.host.volume_gb
  subnets             = local.host.subnets
  security_group      = local.host.security_group
  home                = local.host.home
  user                = local.host.user
  secret_ids          = local.host.secret_ids
  models_bucket       = local.host.models_bucket
  key_arn             = local.host.key_arn
  deletion_protection = local.host.deletion_protection
  tags                = local.host.tags
}

# One works, one waits in another zone.
module "applier_hosts" {
  source              = "../modules/hosts"
  name                = "${var.name}-applier"
  role                = "applier"
  instance_type       = var.applier_host
  hosts_min           = 1
  hosts_max           = 1
  numbers             = { for place, zone in local.zones : zone => 240 + place } # behind the scorers' last
  region              = local.host.region
  account             = local.host.account
  cluster             = local.host.cluster
  volume_gb           = local.host.volume_gb
  subnets             = { for zone in slice(local.zones, 0, 2) : zone => local.host.subnets[zone] }
  security_group      = local.host.security_group
  home                = local.host.home
  user                = local.host.user
  secret_ids          = local.host.secret_ids
  models_bucket       = local.host.models_bucket
  key_arn             = local.host.key_arn
  deletion_protection = local.host.deletion_protection
  tags                = local.host.tags
}

module "programs" {
  source             = "../modules/programs"
  name               = var.name
  region             = var.region
  account            = local.account
  image              = var.image
  data_image         = var.data_image
  agent_image        = var.agent_image
  repositories       = var.name
  zone               = local.zones[0]
  settings           = local.settings
  scorer_memory_mib  = var.scorer_memory_mib
  user               = local.user
  home               = local.home
  api_port           = local.api_port
  operations_port    = local.operations_port
  target_group_arn   = module.balancer.target_group_arn
  capacity_providers = concat(module.scorer_hosts.capacity_providers, module.applier_hosts.capacity_providers)
  stream_arn         = aws_kinesis_stream.this.arn
  record_bucket_arn  = module.record.arn
  anchors_bucket_arn = module.anchors.arn
  key_arn            = aws_kms_key.this.arn
}

module "balancer" {
  source = "../modules/balancer"
  name   = var.name
  port   = local.api_port
  # Below gunicorn's keep-alive (75 s): the side that closes first resets the other.
  idle_timeout_s = 60
  # Longer than two failed health checks, and than any request: what is under way ends first.
  deregistration_delay_s = 15
  requests_per_address   = 2000000
  deletion_protection    = var.deletion_protection
  endpoint               = local.here.endpoint
  shared_name            = local.shared_name
  zone_id                = data.aws_route53_zone.this.zone_id
  log_bucket             = module.logs.name
  key_arn                = aws_kms_key.this.arn
  vpc_id                 = module.network.vpc_id
  subnet_ids             = values(module.network.public_subnets)
  hosts_group            = aws_security_group.hosts.id
}
