"""What several chapters share. Nothing that a chapter teaches is hidden here: see the modules."""
from utils.errors import show_error
from utils.runtime import get_device, set_seed

__all__ = ["get_device", "set_seed", "show_error"]
