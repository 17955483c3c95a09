// Package main makes the calls of Juju's provider, in their order, with gomaasapi: juju URL API-KEY SPACE-ID.
//
// From a bootstrap to its end: what the server can do, an allocation by constraints with a space and volumes, a start
// with compressed user data, the wait for the deployment, devices for containers, state in files, and the release. It waits JUJU_WAIT_S seconds
// for the deployment, by default 30, and asks every JUJU_POLL_MS milliseconds, by default 100.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/juju/gomaasapi"
)

func must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func userData() string {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err := writer.Write([]byte("#cloud-config\nruncmd: [true]\n"))
	must(err, "gzip")
	must(writer.Close(), "gzip")
	return base64.StdEncoding.EncodeToString(packed.Bytes())
}

func setting(name string, otherwise int) int {
	number, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return otherwise
	}
	return number
}

func deployed(controller gomaasapi.Controller, agent, id string) gomaasapi.Machine {
	poll := time.Duration(setting("JUJU_POLL_MS", 100)) * time.Millisecond
	end := time.Now().Add(time.Duration(setting("JUJU_WAIT_S", 30)) * time.Second)
	for time.Now().Before(end) {
		found, err := controller.Machines(gomaasapi.MachinesArgs{AgentName: agent, SystemIDs: []string{id}})
		must(err, "machines")
		if len(found) == 1 && strings.EqualFold(found[0].StatusName(), "deployed") {
			return found[0]
		}
		time.Sleep(poll)
	}
	must(fmt.Errorf("machine %s is not deployed", id), "machines")
	return nil
}

func main() {
	url, key, space := os.Args[1], os.Args[2], os.Args[3]
	agent := "7d1f9a52-5d1c-4b8e-9a5e-3d3a3a3a3a3a"
	found := map[string]interface{}{}
	controller, err := gomaasapi.NewController(gomaasapi.ControllerArgs{BaseURL: url, APIKey: key})
	must(err, "controller")
	found["capabilities"] = controller.Capabilities().SortedValues()
	images, err := controller.BootResources()
	must(err, "boot resources")
	found["images"] = len(images)
	zones, err := controller.Zones()
	must(err, "zones")
	found["zones"] = zones[0].Name()
	pools, err := controller.Pools()
	must(err, "pools")
	found["pools"] = pools[0].Name()
	spaces, err := controller.Spaces()
	must(err, "spaces")
	names := []string{}
	for _, one := range spaces {
		names = append(names, one.Name())
	}
	found["spaces"] = names
	_, err = controller.Fabrics()
	must(err, "fabrics")
	domains, err := controller.Domains()
	must(err, "domains")
	found["domain"] = domains[0].Name()
	_, err = controller.StaticRoutes()
	must(err, "static routes")
	_, err = controller.Tags()
	must(err, "tags")

	_, err = controller.GetFile("provider-state")
	found["missing file"] = gomaasapi.IsNoMatchError(err)
	must(controller.AddFile(gomaasapi.AddFileArgs{Filename: agent + "-provider-state", Content: []byte("state: \x00\xff")}),
		"add file")
	stored, err := controller.GetFile(agent + "-provider-state")
	must(err, "file")
	content, err := stored.ReadAll()
	must(err, "content")
	found["file"] = base64.StdEncoding.EncodeToString(content)

	_, _, err = controller.AllocateMachine(gomaasapi.AllocateMachineArgs{MinMemory: 9000000, AgentName: agent})
	found["nothing fits"] = gomaasapi.IsNoMatchError(err)
	machine, matches, err := controller.AllocateMachine(gomaasapi.AllocateMachineArgs{
		MinCPUCount:  2,
		MinMemory:    2048,
		Architecture: "amd64",
		AgentName:    agent,
		Storage:      []gomaasapi.StorageSpec{{Label: "root", Size: 8}, {Label: "0", Size: 5}},
		Interfaces:   []gomaasapi.InterfaceSpec{{Label: space, Space: space}},
	})
	must(err, "allocate")
	found["allocated"] = []interface{}{machine.CPUCount(), machine.Memory(), machine.StatusName()}
	found["volumes"] = len(matches.Storage["0"])
	found["interfaces"] = len(matches.Interfaces[space])
	must(machine.Start(gomaasapi.StartArgs{UserData: userData(), DistroSeries: "noble"}), "start")
	must(machine.SetOwnerData(map[string]string{"juju-controller-uuid": agent, "juju-is-controller": "true"}), "data")
	running := deployed(controller, agent, machine.SystemID())
	addresses := []string{}
	for _, nic := range running.InterfaceSet() {
		for _, link := range nic.Links() {
			if link.Subnet() == nil {
				must(fmt.Errorf("a link of %s has no subnet", nic.Name()), "links")
			}
			addresses = append(addresses, link.IPAddress())
		}
	}
	found["addresses"] = addresses
	found["owner data"] = running.OwnerData()["juju-is-controller"]
	found["root"] = running.PhysicalBlockDevices()[0].Size()
	link := running.InterfaceSet()[0].Links()[0]
	device, err := running.CreateDevice(gomaasapi.CreateMachineDeviceArgs{
		Hostname: "juju-0-lxd-0", InterfaceName: "eth0", MACAddress: "52:54:00:aa:bb:01", Subnet: link.Subnet(),
	})
	must(err, "device of a container")
	listed, err := running.Devices(gomaasapi.DevicesArgs{MACAddresses: []string{"52:54:00:aa:bb:01"}})
	must(err, "devices")
	for _, one := range listed {
		found["container"] = []interface{}{one.Hostname(), one.Parent() == machine.SystemID(), one.IPAddresses()}
	}
	for try := 0; try < 2; try++ { // a second container, which Juju removes itself
		other, err := running.CreateDevice(gomaasapi.CreateMachineDeviceArgs{
			Hostname: "juju-0-lxd-1", InterfaceName: "eth0", MACAddress: "52:54:00:aa:bb:02", Subnet: link.Subnet(),
		})
		must(err, "device of a second container")
		must(other.Delete(), "delete device")
	}
	found["device"] = device.SystemID() != ""
	must(controller.ReleaseMachines(gomaasapi.ReleaseMachinesArgs{SystemIDs: []string{machine.SystemID()}}), "release")
	left := listed
	for try := 0; try < 3000 && len(left) > 0; try++ { // the answer comes before the end of the release
		left, err = controller.Devices(gomaasapi.DevicesArgs{Hostname: []string{"juju-0-lxd-0", "juju-0-lxd-1"}})
		must(err, "devices after the release")
		time.Sleep(100 * time.Millisecond)
	}
	found["devices left"] = len(left)
	files, err := controller.Files(agent)
	must(err, "files")
	for _, one := range files {
		must(one.Delete(), "delete file")
	}
	found["files"] = len(files)
	must(json.NewEncoder(os.Stdout).Encode(found), "output")
}
