"""The embedded GitOps engine: IaC repositories in, running workloads and routes out."""
