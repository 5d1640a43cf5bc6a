variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "namespace" {
  description = "The private DNS zone of services, such as `trace-dev.internal`."
  type        = string
}

variable "domain" {
  description = "The public name of the platform."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets by kind."
  type        = map(list(string))
}

variable "group_ids" {
  description = "Security groups by what they are for."
  type        = map(string)
}

variable "ports" {
  description = "The ports that services listen on."
  type        = map(number)
}

variable "architecture" {
  description = "`X86_64` or `ARM64`."
  type        = string
}

variable "container_insights" {
  description = "Whether metrics of each task are kept."
  type        = bool
}

variable "scratch_key_arn" {
  description = "The key of tasks' ephemeral storage."
  type        = string
}

variable "images" {
  description = "Images by digest. Without one of `egress` nothing leaves."
  type = object({
    dispatcher = string
    query      = string
    worker     = string
    egress     = optional(string)
    configure  = string
    runner     = optional(string)
  })
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
    worker = object({ cpu = number, memory = number, count = number, slots = number })
    egress = object({ cpu = number, memory = number, count = number })
  })
}

variable "service_role_arns" {
  description = "What running services may do, by service."
  type        = map(string)
}

variable "execution_role_arns" {
  description = "What ECS needs to start tasks, by task."
  type        = map(string)
}

variable "secret_arns" {
  description = "Secrets by service."
  type        = map(string)
}

variable "log_group_names" {
  description = "Log groups by what writes them."
  type        = map(string)
}

variable "target_group_arns" {
  description = "Target groups of the load balancer by service."
  type        = map(string)
}

variable "data_bucket" {
  description = "The bucket of blobs and data."
  type        = string
}

variable "data_key_arn" {
  description = "The key of the data bucket, which tasks' sessions have S3 use."
  type        = string
}

variable "service_ca" {
  description = "The authority (PEM) of the services' certificates, which are `tls_certificate` and `tls_key` of each service's secret. Without it services speak plain HTTP inside the VPC."
  type        = string
}

variable "database_ca" {
  description = "The authorities (PEM) of the databases' certificates."
  type        = string
}

variable "session_role_arn" {
  description = "The role whose sessions attempts get."
  type        = string
}

variable "oidc" {
  description = "The issuer of users' tokens."
  type = object({
    issuer   = string
    audience = string
    jwks_url = string
  })
}

variable "platform_org" {
  description = "The org whose admins rotate keys and revoke workers."
  type        = string
}

variable "extra_configuration" {
  description = "Settings of services that have no variable, merged over what is written here."
  type = object({
    dispatcher = optional(any, {})
    query      = optional(any, {})
    worker     = optional(any, {})
    egress     = optional(any, {})
  })
  default = {}
}

variable "signing_key_arn" {
  description = "The key that certifies the dispatcher's signing key."
  type        = string
}

variable "root_public_key" {
  description = "Its public half, as PEM."
  type        = string
}

variable "key_folder" {
  description = "The file system of the dispatcher's signing keys."
  type        = object({ file_system_id = string, access_point_id = string })
}

variable "wakeups" {
  description = "Wake-up queues by runtime."
  type        = map(object({ arn = string, url = string, name = string }))
}

variable "dead" {
  description = "Their dead-letter queues."
  type        = map(object({ arn = string, url = string, name = string }))
}

variable "worker_runtime" {
  description = "The runtime whose queue the workers listen to."
  type        = string
}
