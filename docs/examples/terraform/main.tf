terraform {
  required_providers {
    maas = {
      source  = "canonical/maas"
      version = "~>2.0"
    }
  }
}

variable "api_key" {
  type      = string
  sensitive = true
}

provider "maas" {
  api_url = "http://127.0.0.1:5240/MAAS"
  api_key = var.api_key
}

resource "maas_vm_host_machine" "web" {
  vm_host  = "farm-tf"
  hostname = "tf-web"
  cores    = 1
  memory   = 1024

  storage_disks {
    size_gigabytes = 8
  }

  network_interfaces {
    name        = "eth0"
    subnet_cidr = "10.6.0.0/24"
  }
}

resource "maas_tag" "web" {
  name     = "web"
  machines = [maas_vm_host_machine.web.id]
}

resource "maas_instance" "web" {
  allocate_params {
    system_id = maas_vm_host_machine.web.id
  }
  deploy_params {
    distro_series = "noble"
  }
  network_interfaces {
    name        = "eth0"
    subnet_cidr = "10.6.0.0/24"
    ip_address  = "10.6.0.20"
  }
}
