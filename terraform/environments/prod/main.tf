# Production: three zones, standbys, and nothing is deleted by mistake.
module "platform" {
  source = "../../modules/platform"

  environment = "prod"
  protected   = true
  multi_az    = true

  network = {
    cidr           = "10.42.0.0/16"
    zones          = 3
    endpoint_zones = 3
    nat_per_zone   = true
  }

  databases = {
    state = { instance_class = "db.r7g.large", storage_gib = 200 }
    hot   = { instance_class = "db.r7g.large", storage_gib = 200 }
  }

  sizes = {
    dispatcher = { cpu = 1024, memory = 2048, count = 3 }
    query = { cpu = 2048, memory = 8192, count = 3, engines = {
      count        = 4
      memory_bytes = 1610612736
      threads      = 2
    } }
    worker = { cpu = 1024, memory = 2048, slots = 64 }
    egress = { cpu = 256, memory = 512, count = 2 }
  }

  max_workers        = 50
  container_insights = true
  budget_usd         = 3000

  retention = {
    log_days        = 365
    audit_days      = 400
    backup_days     = 35
    noncurrent_days = 90
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
