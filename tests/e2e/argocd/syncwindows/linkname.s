// Go takes a function without a body only where there is an assembly file.
