# Production's shape in small: what is about to be released runs here first.
module "platform" {
  source = "../../modules/platform"

  environment = "staging"
  protected   = true
  multi_az    = false

  network = {
    cidr           = "10.41.0.0/16"
    zones          = 2
    endpoint_zones = 2
    nat_per_zone   = false
  }

  databases = {
    state = { instance_class = "db.t4g.medium", storage_gib = 50 }
    hot   = { instance_class = "db.t4g.medium", storage_gib = 50 }
  }

  sizes = {
    dispatcher = { cpu = 512, memory = 1024, count = 2 }
    query = { cpu = 1024, memory = 4096, count = 2, engines = {
      count        = 2
      memory_bytes = 1073741824
      threads      = 1
    } }
    worker = { cpu = 512, memory = 1024, slots = 32 }
    egress = { cpu = 256, memory = 512, count = 1 }
  }

  max_workers        = 10
  container_insights = false
  budget_usd         = 800

  retention = {
    log_days        = 90
    audit_days      = 365
    backup_days     = 7
    noncurrent_days = 30
  }

  images              = var.images
  domain              = var.domain
  oidc                = var.oidc
  platform_org        = var.platform_org
  egress_domains      = var.egress_domains
  operator_role_arns  = var.operator_role_arns
  alarm_emails        = var.alarm_emails
  service_ca          = var.service_ca
  database_ca         = var.database_ca
  extra_configuration = var.extra_configuration
}
