"""What an environment costs while no file arrives, from its templates and a dated list of prices."""
