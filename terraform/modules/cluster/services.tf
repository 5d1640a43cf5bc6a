# What is told to each service. Binaries read one file (dispatcher/src/config.rs, query-service/src/config.rs,
# worker-wrapper/src/config.rs): the container `configure` writes it before the service starts, with secrets put in
# where the text says `@@name@@`. JSON is YAML, so the dispatcher reads the same.

locals {
  scheme = var.service_ca == null ? "http" : "https"
  # By way of JSON, because the two have different types.
  transport = jsondecode(var.service_ca == null ? jsonencode("plain") : jsonencode({
    tls = { certificate = "/run/trace/tls.pem", key = "/run/trace/tls.key" }
  }))
  ca_file = var.service_ca == null ? {} : { ca_file = "/run/trace/ca.pem" }

  # In the volume that a service may write to; its health check reads it.
  ready_file = "/var/lib/trace/ready"

  address = {
    dispatcher_users   = "${local.scheme}://dispatcher.${var.namespace}:${var.ports.dispatcher_users}/"
    dispatcher_tasks   = "${local.scheme}://dispatcher.${var.namespace}:${var.ports.dispatcher_tasks}/"
    dispatcher_workers = "${local.scheme}://dispatcher.${var.namespace}:${var.ports.dispatcher_workers}/"
    query_tasks        = "${local.scheme}://query.${var.namespace}:${var.ports.query_tasks}/"
  }
  capability_issuer = "https://${var.domain}/capabilities"

  everywhere = "0.0.0.0"
  users_keys = { issuer = var.oidc.issuer, audience = var.oidc.audience }

  configuration = {
    dispatcher = merge({
      database_url = "@@database_url@@"
      listen = {
        users   = "${local.everywhere}:${var.ports.dispatcher_users}"
        tasks   = "${local.everywhere}:${var.ports.dispatcher_tasks}"
        workers = "${local.everywhere}:${var.ports.dispatcher_workers}"
      }
      transport         = local.transport
      ready_file        = local.ready_file
      key_dir           = "/var/lib/trace/keys"
      capability_issuer = local.capability_issuer
      users             = merge(local.users_keys, { jwks = { url = var.oidc.jwks_url } })
      object_store      = { region = var.region, bucket = var.data_bucket }
      credentials       = { sts = { role_arn = var.session_role_arn, region = var.region, kms_key = var.data_key_arn } }
      keys = {
        platform_org = var.platform_org
        root         = { kms = { aws = { region = var.region }, key = var.signing_key_arn } }
      }
      # Queues of runtimes that the dispatcher does not know yet are refused by it: they are made, not named.
      wake_ups = { sqs = { aws = { region = var.region }, queues = { process = var.wakeups.process.url } } }
    }, var.extra_configuration.dispatcher)

    query = merge({
      listen_users = "${local.everywhere}:${var.ports.query_users}"
      listen_tasks = "${local.everywhere}:${var.ports.query_tasks}"
      transport    = local.transport
      ready_file   = local.ready_file
      service = merge(local.ca_file, {
        dispatcher   = local.address.dispatcher_workers
        identity     = "@@identity@@"
        capabilities = { issuer = local.capability_issuer, jwks = "${local.address.dispatcher_users}.well-known/jwks.json" }
        users        = merge(local.users_keys, { jwks = var.oidc.jwks_url })
        store        = { region = var.region }

        capability_root = "/run/trace/root.pem"
        engines         = var.sizes.query.engines
      }, var.extra_configuration.query)
    })

    worker = merge(local.ca_file, {
      dispatcher   = local.address.dispatcher_workers
      task_api     = local.address.dispatcher_tasks
      query        = local.address.query_tasks
      object_store = { endpoint = "https://s3.${var.region}.amazonaws.com/", region = var.region, addressing = "virtual_host" }
      work_dir     = "/var/lib/trace/work"
      slots        = var.sizes.worker.slots
      health       = "${local.everywhere}:7020"
      transport    = local.transport
      ready_file   = local.ready_file
      wake_ups     = { sqs = { aws = { region = var.region }, queue = var.wakeups[var.worker_runtime].url, dead_letters = var.dead[var.worker_runtime].url } }
    }, var.extra_configuration.worker)

    # The gateway's binary is not written yet: what it is told is what it will need in any case.
    egress = merge({
      listen       = "${local.everywhere}:${var.ports.egress_tasks}"
      dispatcher   = local.address.dispatcher_workers
      identity     = "@@identity@@"
      capabilities = { issuer = local.capability_issuer, jwks = "${local.address.dispatcher_users}.well-known/jwks.json" }
      domains      = var.egress_domains
    }, var.extra_configuration.egress)
  }

  file = "/run/trace/config.json"

  # `inside` are the values that `configure` puts into the file; `environment` goes to the service itself.
  described = {
    dispatcher = {
      command     = ["--config", local.file]
      ready       = ["/usr/bin/dispatcher", "ready", local.ready_file]
      inside      = ["database_url"]
      environment = {}
      discovered  = true
      subnets     = var.subnet_ids.services
      users_port  = var.ports.dispatcher_users
      ports       = [var.ports.dispatcher_users, var.ports.dispatcher_tasks, var.ports.dispatcher_workers]
    }
    query = {
      command     = ["serve", "--config", local.file]
      ready       = ["/usr/bin/query-service", "ready", local.ready_file]
      inside      = ["identity"]
      environment = {}
      discovered  = true
      subnets     = var.subnet_ids.services
      users_port  = var.ports.query_users
      ports       = [var.ports.query_users, var.ports.query_tasks]
    }
    worker = {
      command     = ["--config", local.file, "--log-json"]
      ready       = ["/usr/bin/worker-wrapper", "ready", local.ready_file]
      inside      = []
      environment = { TRACE_WORKER_TOKEN = "identity" }
      discovered  = false
      subnets     = var.subnet_ids.services
      users_port  = null
      ports       = []
    }
    egress = {
      command     = ["--config", local.file]
      ready       = null
      inside      = ["identity"]
      environment = {}
      discovered  = true
      subnets     = var.subnet_ids.egress
      users_port  = null
      ports       = [var.ports.egress_tasks]
    }
  }

  services = { for key, service in local.described : key => merge(service, {
    image  = var.images[key]
    count  = var.sizes[key].count
    cpu    = var.sizes[key].cpu
    memory = var.sizes[key].memory
  }) if var.images[key] != null }

  fixed = { for key, service in local.services : key => service if key != "worker" }
}
