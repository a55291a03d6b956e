variable "project" {
  description = "Id of an existing Google Cloud project with billing."
  type        = string
}

variable "region" {
  description = "Of Vertex AI, bucket, data set and images."
  type        = string
  default     = "europe-west4"
}

variable "operators" {
  description = "Who submits pipelines and builds images, such as user:me@example.com or group:ml@example.com."
  type        = list(string)
  default     = []
}

variable "artifact_days" {
  description = "Days after which artifacts of runs, which can be made again, are deleted. Pushed models and raw data stay."
  type        = number
  default     = 90
}

variable "image_version" {
  description = "Tag of the image, as deploy/cloudbuild.yaml builds it."
  type        = string
  default     = "0.1.0"
}

variable "dataflow" {
  description = "Whether Beam may run on Dataflow (vertex.beam.runner: dataflow)."
  type        = bool
  default     = false
}

variable "tensorboard" {
  description = "Whether a TensorBoard instance of Vertex AI is made."
  type        = bool
  default     = false
}

variable "serve" {
  description = "Model -> bucket folder of its pushed versions: what Cloud Run serves, such as { clv = \"gs://my-project-pipelines/models/clv-main-horizon_days-91\" }."
  type        = map(string)
  default     = {}
}

variable "serve_memory" {
  description = "Of each instance that serves."
  type        = string
  default     = "4Gi"
}

variable "serve_max_instances" {
  description = "Most instances that Cloud Run starts of each model."
  type        = number
  default     = 3
}

variable "serve_callers" {
  description = "Who may ask the served models, such as user:me@example.com or allUsers."
  type        = list(string)
  default     = []
}
