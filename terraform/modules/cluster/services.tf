# What is told to each service. Binaries read one file (`config.rs` of dispatcher, query-service, worker-wrapper and
# egress-gateway): the container `configure` writes it before the service starts, with secrets put in where the text
# says `@@name@@`. JSON is YAML, so the dispatcher reads the same. Each of these is given to its program's own
# `check-config` by terraform/tests/check_configuration.py.

locals {
  scheme = var.service_ca == null ? "http" : "https"
  # By way of JSON, because the two have different types.
  transport = jsondecode(var.service_ca == null ? jsonencode("plain") : jsonencode({
    tls = { certificate = "/run/trace/tls.pem", key = "/run/trace/tls.key" }
  }))
  # Whose certificates are believed where services are called; without an authority of ours they are called plainly.
  called = jsondecode(var.service_ca == null ? jsonencode({ plain_http = "allow" }) : jsonencode({ ca_file = "/run/trace/ca.pem" }))

  # Egress is there when its image is.
  leads_out = var.images.egress != null

  # In the volume that a service may write to; its health check reads it.
  ready_file = "/var/lib/trace/ready"

  address = {
    dispatcher_users   = "${local.scheme}://dispatcher.${var.namespace}:${var.ports.dispatcher_users}/"
    dispatcher_tasks   = "${local.scheme}://dispatcher.${var.namespace}:${var.ports.dispatcher_tasks}/"
    dispatcher_workers = "${local.scheme}://dispatcher.${var.namespace}:${var.ports.dispatcher_workers}/"
    query_tasks        = "${local.scheme}://query.${var.namespace}:${var.ports.query_tasks}/"
    egress_tasks       = "${local.scheme}://egress.${var.namespace}:${var.ports.egress_tasks}/"
    object_store       = "https://s3.${var.region}.amazonaws.com/"
  }
  capability_issuer = "https://${var.domain}/capabilities"

  everywhere = "0.0.0.0"
  # Who signs capabilities, and what makes their keys believed.
  capabilities = {
    capabilities    = { issuer = local.capability_issuer, jwks = "${local.address.dispatcher_users}.well-known/jwks.json" }
    capability_root = "/run/trace/root.pem"
  }
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
      egress = local.leads_out ? "gateway" : "none"
      # Queues of runtimes that the dispatcher does not know yet are refused by it: they are made, not named.
      wake_ups = { sqs = { aws = { region = var.region }, queues = { process = var.wakeups.process.url } } }
    }, var.extra_configuration.dispatcher)

    query = merge({
      listen_users = "${local.everywhere}:${var.ports.query_users}"
      listen_tasks = "${local.everywhere}:${var.ports.query_tasks}"
      transport    = local.transport
      ready_file   = local.ready_file
      service = merge(local.called, local.capabilities, {
        dispatcher = local.address.dispatcher_workers
        identity   = "@@identity@@"
        users      = merge(local.users_keys, { jwks = var.oidc.jwks_url })
        store      = { region = var.region }
        engines    = var.sizes.query.engines
      }, var.extra_configuration.query)
    })

    worker = merge(local.called, local.leads_out ? { egress = local.address.egress_tasks } : {}, local.launcher, {
      dispatcher   = local.address.dispatcher_workers
      task_api     = local.address.dispatcher_tasks
      query        = local.address.query_tasks
      object_store = { endpoint = local.address.object_store, region = var.region, addressing = "virtual_host" }
      work_dir     = "/var/lib/trace/work"
      slots        = var.sizes.worker.slots
      health       = "${local.everywhere}:7020"
      transport    = local.transport
      ready_file   = local.ready_file
      wake_ups     = { sqs = { aws = { region = var.region }, queue = var.wakeups[var.worker_runtime].url, dead_letters = var.dead[var.worker_runtime].url } }
    }, var.extra_configuration.worker)

    egress = {
      listen     = "${local.everywhere}:${var.ports.egress_tasks}"
      transport  = local.transport
      ready_file = local.ready_file
      service = merge(local.called, local.capabilities, {
        dispatcher = local.address.dispatcher_workers
        identity   = "@@identity@@"
      }, var.extra_configuration.egress)
    }
  }

  # Each attempt is a task of its own, as soon as there is an image for it; the process sandbox needs user namespaces,
  # which Fargate has none of.
  launcher = var.images.runner == null ? {} : { launcher = { ecs = {
    aws             = { region = var.region }
    cluster         = var.name
    task_definition = local.udf_family
    platform        = var.name
    subnets         = var.subnet_ids.tasks
    security_groups = [var.group_ids.udf]
  } } }

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
      command     = ["serve", "--config", local.file]
      ready       = ["/usr/bin/egress-gateway", "ready", local.ready_file]
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
