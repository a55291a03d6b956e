# Pushed models on Cloud Run, one service each: only with `-var serve=...`.

resource "google_service_account" "serving" {
  count        = length(var.serve) > 0 ? 1 : 0
  account_id   = "tfx-pipelines-serving"
  display_name = "Serves models that TFX pipelines pushed"
  depends_on   = [google_project_service.api]
}

# It reads the bucket, and may do nothing else.
resource "google_storage_bucket_iam_member" "serving" {
  count  = length(var.serve) > 0 ? 1 : 0
  bucket = google_storage_bucket.pipelines.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.serving[0].member
}

resource "google_cloud_run_v2_service" "serving" {
  for_each            = var.serve
  name                = "serve-${each.key}"
  location            = var.region
  deletion_protection = false
  depends_on          = [google_project_service.api, google_storage_bucket_iam_member.serving]

  template {
    service_account                  = google_service_account.serving[0].email
    max_instance_request_concurrency = 64
    timeout                          = "60s"

    scaling {
      min_instance_count = 0
      max_instance_count = var.serve_max_instances
    }

    containers {
      image = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.pipelines.repository_id}/tfx-pipelines:${var.image_version}"
      # Cloud Run says the port in PORT. The newest version in the folder serves; later ones take its place.
      args = ["serve", each.key, "--version", each.value, "--host", "0.0.0.0", "--set", "poll_s=30"]

      resources {
        limits            = { cpu = "2", memory = var.serve_memory }
        startup_cpu_boost = true
      }

      # 200 once a version is downloaded, loaded and warm: up to four minutes, the most that Cloud Run waits.
      startup_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 24
        http_get {
          path = "/health"
        }
      }
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 3
        http_get {
          path = "/health"
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "callers" {
  for_each = { for pair in setproduct(keys(var.serve), var.serve_callers) : "${pair[0]} ${pair[1]}" => pair }
  name     = google_cloud_run_v2_service.serving[each.value[0]].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value[1]
}
