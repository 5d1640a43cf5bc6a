variable "account_id" {
  description = "The account that this environment belongs to. Terraform refuses any other."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account id has twelve digits."
  }
}

variable "region" {
  description = "The region."
  type        = string
}

variable "images" {
  description = "Images by digest; see docs/terraform.md for how to build and push them."
  type = object({
    dispatcher = string
    query      = string
    worker     = string
    egress     = optional(string)
    configure  = string
    runner     = optional(string)
  })
}

variable "domain" {
  description = "The public name, its certificate, and its hosted zone if Route 53 has it."
  type = object({
    name            = string
    certificate_arn = string
    zone_id         = optional(string)
  })
}

variable "oidc" {
  description = "Whose user tokens are believed, and the interface endpoint that its keys are fetched through."
  type = object({
    issuer                = string
    audience              = string
    jwks_url              = string
    endpoint_service_name = optional(string)
  })
}

variable "platform_org" {
  description = "The org whose admins rotate keys and revoke workers."
  type        = string
}

variable "egress_domains" {
  description = "Names that the egress gateway may reach."
  type        = list(string)
  default     = []
}

variable "operator_role_arns" {
  description = "Roles of people who may read objects and secrets from outside of the VPC."
  type        = list(string)
  default     = []
}

variable "alarm_emails" {
  description = "Who is told of alarms."
  type        = set(string)
  default     = []
}

variable "service_ca" {
  description = "The authority (PEM) of the services' certificates; without it they speak plain HTTP inside the VPC."
  type        = string
  default     = null
}

variable "database_ca" {
  description = "The authorities (PEM) of RDS in the region."
  type        = string
}

variable "extra_configuration" {
  description = "Settings of services that have no variable here."
  type = object({
    dispatcher = optional(any, {})
    query      = optional(any, {})
    worker     = optional(any, {})
    egress     = optional(any, {})
  })
  default = {}
}
