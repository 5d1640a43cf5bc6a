# Task definitions. Every container: read-only root, no capability of the kernel, an ordinary user, no new
# privileges to gain. What has to be written is in volumes that end with the task.

locals {
  user       = "65532:65532"
  udf_family = "${var.name}-udf"

  hardened = {
    user                   = local.user
    privileged             = false
    readonlyRootFilesystem = true
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { add = [], drop = ["ALL"] }
    }
    systemControls = []
    volumesFrom    = []
  }

  log = { for key, name in var.log_group_names : key => {
    logDriver = "awslogs"
    options = {
      "awslogs-group"         = name
      "awslogs-region"        = var.region
      "awslogs-stream-prefix" = "task"
      # A service never waits for its log; what does not fit the buffer is lost, and the audit log is not here.
      "mode"            = "non-blocking"
      "max-buffer-size" = "16m"
    }
  } }
}

resource "aws_ecs_task_definition" "service" {
  for_each = local.services

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = var.execution_role_arns[each.key]
  task_role_arn            = var.service_role_arns[each.key]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "configuration"
  }

  volume {
    name = "state"
  }

  dynamic "volume" {
    for_each = each.key == "dispatcher" ? [var.key_folder] : []

    content {
      name = "keys"

      efs_volume_configuration {
        file_system_id     = volume.value.file_system_id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = volume.value.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([
    merge(local.hardened, {
      name      = "configure"
      image     = var.images.configure
      essential = false
      environment = [
        { name = "TRACE_CONFIGURATION", value = jsonencode(local.configuration[each.key]) },
        { name = "TRACE_ROOT", value = var.root_public_key },
        { name = "TRACE_CA", value = var.service_ca == null ? "" : var.service_ca },
        { name = "TRACE_DATABASE_CA", value = var.database_ca },
      ]
      secrets      = [for value in concat(each.value.inside, var.service_ca == null ? [] : ["tls_certificate", "tls_key"]) : { name = "TRACE_SECRET_${value}", valueFrom = "${var.secret_arns[each.key]}:${value}::" }]
      mountPoints  = [{ sourceVolume = "configuration", containerPath = "/run/trace", readOnly = false }]
      portMappings = []
      # Its output is the exit status: what it was given may not be printed.
      logConfiguration = local.log[each.key]
    }),
    merge(local.hardened, {
      # A worker gets ready with its first claim, and may be waiting for work that long.
      healthCheck = { command = concat(["CMD"], each.value.ready), interval = 10, timeout = 5, retries = 3, startPeriod = 120 }
      }, {
      name        = each.key
      image       = each.value.image
      essential   = true
      command     = each.value.command
      stopTimeout = 60
      environment = []
      secrets     = [for variable, value in each.value.environment : { name = variable, valueFrom = "${var.secret_arns[each.key]}:${value}::" }]
      dependsOn   = [{ containerName = "configure", condition = "SUCCESS" }]
      mountPoints = concat([
        { sourceVolume = "configuration", containerPath = "/run/trace", readOnly = true },
        { sourceVolume = "state", containerPath = "/var/lib/trace", readOnly = false },
        { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      ], [for volume in ["keys"] : { sourceVolume = volume, containerPath = "/var/lib/trace/keys", readOnly = false } if each.key == "dispatcher"])
      portMappings     = [for port in each.value.ports : { containerPort = port, hostPort = port, protocol = "tcp" }]
      logConfiguration = local.log[each.key]
    }),
  ])
}

# What the ECS launcher starts for an untrusted attempt: no task role, hence no credentials; no log driver, as its
# output goes to the dispatcher, capped and masked. CPU, memory and ephemeral storage are the job's, by override.
# A single-use launch ticket comes by override, too; nothing else is secret about a task definition.
resource "aws_ecs_task_definition" "udf" {
  count = var.images.runner == null ? 0 : 1

  family                   = local.udf_family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = var.execution_role_arns.udf

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  ephemeral_storage {
    size_in_gib = 21
  }

  volume {
    name = "task"
  }

  volume {
    name = "out"
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([
    merge(local.hardened, {
      name      = "runner"
      image     = var.images.runner
      essential = true
      environment = [
        { name = "TRACE_TASK_API", value = local.address.dispatcher_tasks },
        { name = "TRACE_QUERY", value = local.address.query_tasks },
        { name = "TRACE_OBJECT_STORE", value = local.address.object_store },
        { name = "TRACE_CA", value = var.service_ca == null ? "" : var.service_ca },
        { name = "TRACE_PLAIN_HTTP", value = var.service_ca == null ? "allow" : "refuse" },
      ]
      secrets     = []
      dependsOn   = []
      stopTimeout = 30
      mountPoints = [
        { sourceVolume = "task", containerPath = "/task", readOnly = false },
        { sourceVolume = "out", containerPath = "/out", readOnly = false },
        { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      ]
      portMappings = []
      ulimits      = [{ name = "nofile", softLimit = 1024, hardLimit = 1024 }, { name = "core", softLimit = 0, hardLimit = 0 }]
    }),
  ])
}
