# What `pipelines … --env vertex` needs in a project, and nothing else.

locals {
  apis = concat(
    [
      "aiplatform.googleapis.com",
      "artifactregistry.googleapis.com",
      "bigquery.googleapis.com",
      "bigquerystorage.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "compute.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "serviceusage.googleapis.com",
      "storage.googleapis.com",
    ],
    var.dataflow ? ["dataflow.googleapis.com"] : [],
    length(var.serve) > 0 ? ["run.googleapis.com"] : [],
  )
  # Of the account that nodes and jobs run as, in the whole project; bucket, data set and images have their own below.
  roles = concat(
    [
      "roles/aiplatform.user",
      "roles/bigquery.jobUser",
      "roles/bigquery.readSessionUser",
      "roles/logging.logWriter",
      "roles/monitoring.metricWriter",
    ],
    var.dataflow ? ["roles/dataflow.developer", "roles/dataflow.worker"] : [],
  )
  operator_roles = [
    "roles/aiplatform.user",
    "roles/bigquery.jobUser",
    "roles/cloudbuild.builds.editor",
    "roles/logging.viewer",
    "roles/serviceusage.serviceUsageConsumer",
  ]
}

resource "google_project_service" "api" {
  for_each           = toset(local.apis)
  service            = each.value
  disable_on_destroy = false
}

# --- accounts -----------------------------------------------------------------

resource "google_service_account" "pipelines" {
  account_id   = "tfx-pipelines"
  display_name = "Nodes and jobs of TFX pipelines"
  depends_on   = [google_project_service.api]
}

resource "google_service_account" "build" {
  account_id   = "tfx-pipelines-build"
  display_name = "Builds the image of TFX pipelines"
  depends_on   = [google_project_service.api]
}

resource "google_project_iam_member" "pipelines" {
  for_each = toset(local.roles)
  project  = var.project
  role     = each.value
  member   = google_service_account.pipelines.member
}

# A node hands work to Dataflow, to a custom job or to an endpoint that runs as the same account.
resource "google_service_account_iam_member" "itself" {
  service_account_id = google_service_account.pipelines.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.pipelines.member
}

resource "google_project_iam_member" "build" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

resource "google_project_iam_member" "operators" {
  for_each = { for pair in setproduct(var.operators, local.operator_roles) : "${pair[0]} ${pair[1]}" => pair }
  project  = var.project
  role     = each.value[1]
  member   = each.value[0]
}

resource "google_service_account_iam_member" "operators" {
  for_each = {
    for pair in setproduct(var.operators, ["pipelines", "build"]) : "${pair[0]} ${pair[1]}" => pair
  }
  service_account_id = (
    each.value[1] == "pipelines" ? google_service_account.pipelines.name : google_service_account.build.name
  )
  role   = "roles/iam.serviceAccountUser"
  member = each.value[0]
}

# --- artifacts, raw data, pushed models ---------------------------------------

resource "google_storage_bucket" "pipelines" {
  name                        = "${var.project}-pipelines"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  depends_on                  = [google_project_service.api]

  lifecycle_rule {
    condition {
      age            = var.artifact_days
      matches_prefix = ["artifacts/"]
    }
    action {
      type = "Delete"
    }
  }
  lifecycle_rule {
    condition {
      age            = 7
      matches_prefix = ["build/"]
    }
    action {
      type = "Delete"
    }
  }
}

resource "google_storage_bucket_iam_member" "pipelines" {
  for_each = toset(["roles/storage.objectAdmin", "roles/storage.legacyBucketReader"])
  bucket   = google_storage_bucket.pipelines.name
  role     = each.value
  member   = google_service_account.pipelines.member
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.pipelines.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

resource "google_storage_bucket_iam_member" "operators" {
  for_each = {
    for pair in setproduct(var.operators, ["roles/storage.objectAdmin", "roles/storage.legacyBucketReader"]) :
    "${pair[0]} ${pair[1]}" => pair
  }
  bucket = google_storage_bucket.pipelines.name
  role   = each.value[1]
  member = each.value[0]
}

# --- tables -------------------------------------------------------------------

resource "google_bigquery_dataset" "shop" {
  dataset_id = "shop"
  location   = var.region
  depends_on = [google_project_service.api]
}

resource "google_bigquery_dataset_iam_member" "pipelines" {
  dataset_id = google_bigquery_dataset.shop.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.pipelines.member
}

resource "google_bigquery_dataset_iam_member" "operators" {
  for_each   = toset(var.operators)
  dataset_id = google_bigquery_dataset.shop.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = each.value
}

# --- images -------------------------------------------------------------------

resource "google_artifact_registry_repository" "pipelines" {
  repository_id = "pipelines"
  location      = var.region
  format        = "DOCKER"
  depends_on    = [google_project_service.api]

  # A tag that was pushed stays what it is.
  docker_config {
    immutable_tags = true
  }
}

resource "google_artifact_registry_repository_iam_member" "pipelines" {
  repository = google_artifact_registry_repository.pipelines.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.pipelines.member
}

resource "google_artifact_registry_repository_iam_member" "build" {
  repository = google_artifact_registry_repository.pipelines.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# --- curves -------------------------------------------------------------------

resource "google_vertex_ai_tensorboard" "pipelines" {
  count        = var.tensorboard ? 1 : 0
  display_name = "tfx-pipelines"
  region       = var.region
  depends_on   = [google_project_service.api]
}
