output "name_servers" {
  description = "For the domain's registrar."
  value       = aws_route53_zone.this.name_servers
}

output "zone" {
  description = "Id of the hosted zone."
  value       = aws_route53_zone.this.zone_id
}

output "endorsing_key" {
  description = "Id of the multi-region key: variable endorsing_key of each region."
  value       = aws_kms_key.endorsing.key_id
}

output "switches" {
  description = "Bucket of the switches."
  value       = aws_s3_bucket.switches.bucket
}

output "repositories" {
  description = "Where images are pushed to; each region has a copy."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
