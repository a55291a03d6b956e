output "environment" {
  description = "The content of deploy/environments/vertex.yaml: `terraform output -raw environment`."
  value = yamlencode({
    vertex = merge(
      {
        project           = var.project
        region            = var.region
        root              = "gs://${google_storage_bucket.pipelines.name}/artifacts"
        image             = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.pipelines.repository_id}/tfx-pipelines:${var.image_version}"
        service_account   = google_service_account.pipelines.email
        bigquery_location = var.region
        sources = {
          clv       = "${var.project}.${google_bigquery_dataset.shop.dataset_id}.transactions"
          colorizer = "gs://${google_storage_bucket.pipelines.name}/photos"
        }
      },
      var.dataflow ? { beam = { runner = "dataflow" } } : {},
      var.tensorboard ? { tensorboard = google_vertex_ai_tensorboard.pipelines[0].name } : {},
    )
    clv       = { gates = { destination = "gs://${google_storage_bucket.pipelines.name}/models" } }
    colorizer = { gates = { destination = "gs://${google_storage_bucket.pipelines.name}/models" } }
  })
}
