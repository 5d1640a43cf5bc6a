# To try things out in: one zone where one will do, and nothing refuses to be deleted.
module "platform" {
  source = "../../modules/platform"

  environment = "dev"
  protected   = false
  multi_az    = false

  network = {
    cidr           = "10.40.0.0/16"
    zones          = 2
    endpoint_zones = 1
    nat_per_zone   = false
  }

  databases = {
    state = { instance_class = "db.t4g.micro", storage_gib = 20 }
    hot   = { instance_class = "db.t4g.micro", storage_gib = 20 }
  }

  sizes = {
    dispatcher = { cpu = 256, memory = 512, count = 1 }
    query = { cpu = 512, memory = 2048, count = 1, engines = {
      count        = 1
      memory_bytes = 1073741824
      threads      = 1
    } }
    worker = { cpu = 256, memory = 512, slots = 16 }
    egress = { cpu = 256, memory = 512, count = 1 }
  }

  max_workers        = 4
  container_insights = false
  budget_usd         = 300

  retention = {
    log_days        = 30
    audit_days      = 365
    backup_days     = 1
    noncurrent_days = 7
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
