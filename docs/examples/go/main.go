// Package main allocates a machine by constraints, which composes one, and releases it again.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/juju/gomaasapi"
)

func main() {
	controller, err := gomaasapi.NewController(gomaasapi.ControllerArgs{
		BaseURL: "http://127.0.0.1:5240/MAAS/api/2.0/",
		APIKey:  os.Getenv("INNKEEPER_KEY"),
	})
	if err != nil {
		log.Fatal(err)
	}
	machine, _, err := controller.AllocateMachine(gomaasapi.AllocateMachineArgs{
		MinCPUCount: 2,
		MinMemory:   2048,
		Storage:     []gomaasapi.StorageSpec{{Label: "root", Size: 8}},
	})
	if err != nil {
		log.Fatal(err) // gomaasapi.IsNoMatchError(err): no host has room
	}
	fmt.Println(machine.Hostname(), machine.StatusName(), machine.CPUCount(), machine.Memory())
	if err := machine.SetOwnerData(map[string]string{"purpose": "example"}); err != nil {
		log.Fatal(err)
	}
	released := gomaasapi.ReleaseMachinesArgs{SystemIDs: []string{machine.SystemID()}, Comment: "done"}
	if err := controller.ReleaseMachines(released); err != nil {
		log.Fatal(err)
	}
}
