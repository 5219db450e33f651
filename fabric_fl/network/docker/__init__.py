"""The same programs in containers: Docker Compose in supervisord's place."""
