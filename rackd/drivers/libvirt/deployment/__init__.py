"""Operating systems on guests: images in storage pools, root disks, firmware and cloud-init seeds."""
