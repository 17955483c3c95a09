"""The HTTP API: resources, their declarations and serializers, dispatch and transport."""
