"""int8 and other small files judged: calibration, comparison with fp32, the search for layers that stay float."""
