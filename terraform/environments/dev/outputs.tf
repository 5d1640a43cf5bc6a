output "platform" {
  description = "What the configuration of services, launchers and people needs; see modules/platform/outputs.tf."
  value       = module.platform
}
