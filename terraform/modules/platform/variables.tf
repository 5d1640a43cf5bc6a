# What environments set. What differs between them is sizes, protection, zones and retention; nothing else.

variable "environment" {
  description = "Its name: part of every name, and first part of every secret's."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "An environment's name is 2 to 12 lower-case letters and digits, and begins with a letter."
  }
}

variable "protected" {
  description = "Whether databases and load balancer refuse to be deleted, and keys, secrets and objects can be brought back."
  type        = bool
}

variable "multi_az" {
  description = "Whether each database has a standby in another zone."
  type        = bool
}

variable "network" {
  description = "Addresses and zones. `endpoint_zones`: zones that interface endpoints have an address in, each billed by the hour."
  type = object({
    cidr           = string
    zones          = number
    endpoint_zones = number
    nat_per_zone   = bool
  })

  validation {
    condition     = can(cidrsubnet(var.network.cidr, 4, 14)) && tonumber(split("/", var.network.cidr)[1]) >= 16 && tonumber(split("/", var.network.cidr)[1]) <= 20
    error_message = "`cidr` is a /16 to /20."
  }

  validation {
    condition     = contains([2, 3], var.network.zones)
    error_message = "`zones` is 2 or 3: databases and the load balancer need two, and addresses are laid out for three."
  }

  validation {
    condition     = var.network.endpoint_zones >= 1 && var.network.endpoint_zones <= var.network.zones
    error_message = "`endpoint_zones` is 1 to `zones`."
  }
}

variable "images" {
  description = "Images of this account's registry, by digest. Without one of `egress` nothing leaves: no gateway, no NAT, no route. `runner` is what the ECS launcher starts."
  type = object({
    dispatcher = string
    query      = string
    worker     = string
    egress     = optional(string)
    configure  = string
    runner     = optional(string)
  })

  validation {
    condition     = alltrue([for image in values(var.images) : image == null || can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Each image ends in `@sha256:` and its digest: a tag can be moved."
  }
}

variable "architecture" {
  description = "What the images were built for."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "`architecture` is `X86_64` or `ARM64`."
  }
}

variable "sizes" {
  description = "CPU units, MiB and counts of services; slots of a worker; engines of a query service."
  type = object({
    dispatcher = object({ cpu = number, memory = number, count = number })
    query = object({ cpu = number, memory = number, count = number, engines = object({
      count        = number
      memory_bytes = number
      threads      = number
    }) })
    worker = object({ cpu = number, memory = number, count = optional(number, 0), slots = number })
    egress = object({ cpu = number, memory = number, count = number })
  })

  validation {
    condition     = var.sizes.query.engines.count * var.sizes.query.engines.memory_bytes < var.sizes.query.memory * 1024 * 1024
    error_message = "All engines of a query service together have less memory than its task: the service needs some, too."
  }
}

variable "databases" {
  description = "The two databases: `state` and `hot`."
  type = map(object({
    instance_class = string
    storage_gib    = number
  }))

  validation {
    condition     = sort(keys(var.databases)) == tolist(["hot", "state"]) || toset(keys(var.databases)) == toset(["hot", "state"])
    error_message = "There are two databases, `state` and `hot`."
  }

  validation {
    condition     = alltrue([for database in values(var.databases) : database.storage_gib >= 20])
    error_message = "RDS gives gp3 storage from 20 GiB on."
  }
}

variable "runtimes" {
  description = "Runtimes with a wake-up queue of their own."
  type        = set(string)
  default     = ["process", "ecs", "lambda"]

  validation {
    condition     = length(var.runtimes) > 0 && alltrue([for runtime in var.runtimes : can(regex("^[a-z][a-z0-9_]{1,19}$", runtime))])
    error_message = "A runtime's name is lower-case letters, digits and `_`."
  }
}

variable "worker_runtime" {
  description = "The runtime whose queue the workers of this cluster listen to."
  type        = string
  default     = "process"

  validation {
    condition     = contains(var.runtimes, var.worker_runtime)
    error_message = "`worker_runtime` is one of `runtimes`."
  }
}

variable "max_workers" {
  description = "Workers at most. At least there are none."
  type        = number

  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 1000
    error_message = "`max_workers` is 1 to 1000."
  }
}

variable "quiet_minutes" {
  description = "Minutes without a message after which workers stop. Longer than tasks usually take."
  type        = number
  default     = 15

  validation {
    condition     = var.quiet_minutes >= 5 && var.quiet_minutes <= 120
    error_message = "`quiet_minutes` is 5 to 120."
  }
}

variable "retention" {
  description = "Days: of service logs, of evidence (a year at least), of backups, of replaced objects."
  type = object({
    log_days        = number
    audit_days      = number
    backup_days     = number
    noncurrent_days = number
  })

  validation {
    condition     = var.retention.audit_days >= 365
    error_message = "`audit_days` is 365 at least."
  }

  validation {
    condition     = var.retention.backup_days >= 1 && var.retention.backup_days <= 35
    error_message = "`backup_days` is 1 to 35; without backups a database can't be restored to a time."
  }
}

variable "domain" {
  description = "The public name, its certificate (ACM, this region), and the hosted zone to put it into, if Route 53 has it."
  type = object({
    name            = string
    certificate_arn = string
    zone_id         = optional(string)
  })

  validation {
    condition     = can(regex("^([a-z0-9-]+[.])+[a-z]{2,}$", var.domain.name))
    error_message = "`name` is a host name, such as `trace.example.com`."
  }

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:", var.domain.certificate_arn))
    error_message = "`certificate_arn` is the ARN of an ACM certificate."
  }
}

variable "oidc" {
  description = "Whose user tokens are believed, and the interface endpoint that its keys are fetched through, such as Cognito's."
  type = object({
    issuer                = string
    audience              = string
    jwks_url              = string
    endpoint_service_name = optional(string)
  })

  validation {
    condition     = startswith(var.oidc.issuer, "https://") && startswith(var.oidc.jwks_url, "https://")
    error_message = "The issuer and its keys have https addresses."
  }
}

variable "platform_org" {
  description = "The org whose admins rotate keys and revoke workers."
  type        = string
}

variable "egress_domains" {
  description = "Names that the egress gateway may reach; the DNS firewall refuses every other."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for domain in var.egress_domains : can(regex("^([a-z0-9-]+[.])+[a-z]{2,}$", domain))])
    error_message = "Each is a whole host name: a pattern would let data out in the names that it matches."
  }
}

variable "operator_role_arns" {
  description = "Roles of people who may read objects and secrets from outside of the VPC, such as for a restore."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.operator_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[^*]+$", arn))])
    error_message = "Each is the ARN of a role, without a pattern."
  }
}

variable "alarm_emails" {
  description = "Who is told of alarms."
  type        = set(string)
  default     = []
}

variable "budget_usd" {
  description = "What a month may cost, in US dollars: a mail at 80 %, and when the forecast passes it."
  type        = number
}

variable "database_connections_alarm" {
  description = "Connections to a database that are nearly too many for its class."
  type        = number
  default     = 80
}

variable "requests_per_5_minutes" {
  description = "Requests of one address in five minutes; more are answered 429."
  type        = number
  default     = 3000

  validation {
    condition     = var.requests_per_5_minutes >= 10
    error_message = "WAF counts from 10 on."
  }
}

variable "container_insights" {
  description = "Whether metrics of each task are kept; billed by the metric."
  type        = bool
}

variable "service_ca" {
  description = "The authority (PEM) of the services' certificates, which each service's secret holds as `tls_certificate` and `tls_key`: then services and the load balancer speak TLS with each other. Without it they speak plain HTTP inside the VPC."
  type        = string
  default     = null
}

variable "database_ca" {
  description = "The authorities (PEM) of RDS in the region: https://truststore.pki.rds.amazonaws.com/REGION/REGION-bundle.pem"
  type        = string
}

variable "extra_configuration" {
  description = "Settings of services that have no variable here, merged over what this module writes."
  type = object({
    dispatcher = optional(any, {})
    query      = optional(any, {})
    worker     = optional(any, {})
    egress     = optional(any, {})
  })
  default = {}
}
