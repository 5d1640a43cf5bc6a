# The platform of one environment. The order of the modules is the order of this page; what would make a circle
# (bucket, keys and endpoints name roles, roles name buckets) is broken by names that follow a rule.

data "aws_caller_identity" "here" {}
data "aws_region" "here" {}
data "aws_partition" "here" {}

data "aws_ec2_managed_prefix_list" "s3" {
  name = "com.amazonaws.${local.region}.s3"
}

locals {
  name       = "trace-${var.environment}"
  account_id = data.aws_caller_identity.here.account_id
  region     = data.aws_region.here.name
  partition  = data.aws_partition.here.partition
  namespace  = "${local.name}.internal"
  egress     = var.images.egress != null

  data_bucket_arn = "arn:${local.partition}:s3:::${local.name}-${local.account_id}-data"
  role_arn        = { for role in ["dispatcher", "query", "session"] : role => "arn:${local.partition}:iam::${local.account_id}:role/${local.name}-${role}" }

  repository_arns = { for part in ["dispatcher", "query", "worker", "egress", "configure", "runner"] : part => "arn:${local.partition}:ecr:${local.region}:${local.account_id}:repository/trace/${part}" }
}

module "keys" {
  source = "../keys"

  name                 = local.name
  account_id           = local.account_id
  partition            = local.partition
  region               = local.region
  deletion_window_days = var.protected ? 30 : 7
}

module "logs" {
  source = "../logs"

  name        = local.name
  environment = var.environment
  key_arn     = module.keys.arns.logs
  days        = var.retention.log_days
  audit_days  = var.retention.audit_days
}

module "network" {
  source = "../network"

  name               = local.name
  account_id         = local.account_id
  cidr               = var.network.cidr
  zones              = var.network.zones
  egress             = local.egress
  nat_per_zone       = var.network.nat_per_zone
  flow_log_group_arn = module.logs.groups.flow.arn
  dns_log_group_arn  = module.logs.groups.dns.arn
}

module "arrows" {
  source = "../arrows"

  name              = local.name
  vpc_id            = module.network.vpc_id
  s3_prefix_list_id = data.aws_ec2_managed_prefix_list.s3.id
  egress            = local.egress
}

module "queue" {
  source = "../queue"

  name       = local.name
  account_id = local.account_id
  key_arn    = module.keys.arns.queue
  runtimes   = var.runtimes
}

module "secrets" {
  source = "../secrets"

  name               = local.name
  environment        = var.environment
  account_id         = local.account_id
  partition          = local.partition
  key_arn            = module.keys.arns.secrets
  recovery_days      = var.protected ? 30 : 0
  operator_role_arns = var.operator_role_arns
}

module "identity" {
  source = "../identity"

  name                = local.name
  environment         = var.environment
  account_id          = local.account_id
  partition           = local.partition
  region              = local.region
  data_bucket_arn     = local.data_bucket_arn
  key_arns            = module.keys.arns
  signing_key_arn     = module.keys.signing_arn
  wakeups             = module.queue.wakeups
  dead                = module.queue.dead
  secret_arns         = module.secrets.arns
  log_group_arns      = { for key, group in module.logs.groups : key => group.arn }
  audit_log_group_arn = module.logs.groups.audit.arn
  repository_arns     = local.repository_arns
  task_subnet_ids     = module.network.subnet_ids.tasks
  udf_group_id        = module.arrows.group_ids.udf
}

module "key_folder" {
  source = "../key_folder"

  name                = local.name
  key_arn             = module.keys.arns.secrets
  subnet_ids          = module.network.service_subnets
  group_id            = module.arrows.group_ids.key_folder
  dispatcher_role_arn = module.identity.service_role_arns.dispatcher
}

# Planes believe the keys that this one certifies.
data "aws_kms_public_key" "root" {
  key_id = module.keys.signing_arn
}

module "endpoints" {
  source = "../endpoints"

  name                = local.name
  environment         = var.environment
  account_id          = local.account_id
  partition           = local.partition
  region              = local.region
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.subnet_ids
  route_table_ids     = module.network.route_table_ids
  group_ids           = module.arrows.group_ids
  interface_zones     = var.network.endpoint_zones
  key_arns            = module.keys.arns
  signing_key_arn     = module.keys.signing_arn
  data_bucket_arn     = local.data_bucket_arn
  session_role_arn    = local.role_arn.session
  dispatcher_role_arn = local.role_arn.dispatcher
  repository_arns     = values(local.repository_arns)
  issuer_service_name = var.oidc.endpoint_service_name
}

module "dns_firewall" {
  source = "../dns_firewall"

  name           = local.name
  vpc_id         = module.network.vpc_id
  egress_domains = var.egress_domains
  internal_domains = concat(
    ["*.${local.namespace}", "s3.${local.region}.amazonaws.com", "*.s3.${local.region}.amazonaws.com", "*.${local.region}.rds.amazonaws.com", "*.efs.${local.region}.amazonaws.com"],
    ["api.ecr.${local.region}.amazonaws.com", "*.dkr.ecr.${local.region}.amazonaws.com"],
    [for service in ["sqs", "sts", "kms", "secretsmanager", "logs", "ecs", "lambda"] : "${service}.${local.region}.amazonaws.com"],
    var.oidc.endpoint_service_name == null ? [] : [split("/", var.oidc.jwks_url)[2]],
  )
}

module "storage" {
  source = "../storage"

  name                = local.name
  account_id          = local.account_id
  partition           = local.partition
  region              = local.region
  key_arn             = module.keys.arns.data
  endpoint_ids        = module.endpoints.s3_ids
  session_role_arn    = local.role_arn.session
  dispatcher_role_arn = local.role_arn.dispatcher
  query_role_arn      = local.role_arn.query
  operator_role_arns  = var.operator_role_arns
  noncurrent_days     = var.retention.noncurrent_days
  access_log_days     = var.retention.audit_days
  force_destroy       = !var.protected
}

module "data" {
  source = "../data"

  name                = local.name
  account_id          = local.account_id
  partition           = local.partition
  region              = local.region
  subnet_ids          = module.network.subnet_ids.data
  group_ids           = module.arrows.group_ids
  key_arn             = module.keys.arns.database
  log_key_arn         = module.keys.arns.logs
  databases           = var.databases
  multi_az            = var.multi_az
  deletion_protection = var.protected
  backup_days         = var.retention.backup_days
  log_days            = var.retention.log_days
}

module "edge" {
  source = "../edge"

  name                   = local.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.subnet_ids.public
  group_id               = module.arrows.group_ids.edge
  targets                = { dispatcher = module.arrows.ports.dispatcher_users, query = module.arrows.ports.query_users }
  backend_protocol       = var.service_ca == null ? "HTTP" : "HTTPS"
  domain                 = var.domain.name
  zone_id                = var.domain.zone_id
  certificate_arn        = var.domain.certificate_arn
  logs_bucket            = module.storage.logs_bucket
  waf_log_group_arn      = module.logs.groups.waf.arn
  requests_per_5_minutes = var.requests_per_5_minutes
  deletion_protection    = var.protected
}

module "cluster" {
  source = "../cluster"

  name                = local.name
  region              = local.region
  vpc_id              = module.network.vpc_id
  namespace           = local.namespace
  domain              = var.domain.name
  subnet_ids          = module.network.subnet_ids
  group_ids           = module.arrows.group_ids
  ports               = module.arrows.ports
  architecture        = var.architecture
  container_insights  = var.container_insights
  scratch_key_arn     = module.keys.arns.scratch
  images              = var.images
  sizes               = var.sizes
  service_role_arns   = module.identity.service_role_arns
  execution_role_arns = module.identity.execution_role_arns
  secret_arns         = module.secrets.arns
  log_group_names     = { for key, group in module.logs.groups : key => group.name }
  target_group_arns   = module.edge.target_group_arns
  data_bucket         = module.storage.data_bucket
  data_key_arn        = module.keys.arns.data
  service_ca          = var.service_ca
  database_ca         = var.database_ca
  session_role_arn    = module.identity.session_role_arn
  oidc                = var.oidc
  platform_org        = var.platform_org
  signing_key_arn     = module.keys.signing_arn
  root_public_key     = data.aws_kms_public_key.root.public_key_pem
  key_folder          = module.key_folder.volume
  wakeups             = module.queue.wakeups
  dead                = module.queue.dead
  worker_runtime      = var.worker_runtime
  extra_configuration = var.extra_configuration
}

module "autoscaling" {
  source = "../autoscaling"

  name          = local.name
  cluster       = module.cluster.cluster.name
  service       = module.cluster.worker_service
  wakeups       = module.queue.wakeups
  max_workers   = var.max_workers
  quiet_minutes = var.quiet_minutes
}

module "alarms" {
  source = "../alarms"

  name               = local.name
  environment        = var.environment
  account_id         = local.account_id
  region             = local.region
  key_arn            = module.keys.arns.queue
  emails             = var.alarm_emails
  wakeups            = module.queue.wakeups
  dead               = module.queue.dead
  load_balancer      = module.edge.load_balancer
  databases          = module.data.databases
  connections        = var.database_connections_alarm
  budget_usd         = var.budget_usd
  dns_log_group_name = module.logs.groups.dns.name
}
