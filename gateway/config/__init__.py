"""What a settings file may say, and in which words it is told what it may not."""

from gateway.config.settings import Settings, config_path, load

__all__ = ["Settings", "config_path", "load"]
