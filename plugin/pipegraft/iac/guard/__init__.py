"""What may enter an IaC repository: rules over texts before and after. Pure."""
