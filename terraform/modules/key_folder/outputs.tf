output "volume" {
  description = "The file system and the access point that the dispatcher mounts."
  value       = { file_system_id = aws_efs_file_system.this.id, access_point_id = aws_efs_access_point.dispatcher.id }

  depends_on = [aws_efs_mount_target.this, aws_efs_file_system_policy.this]
}
