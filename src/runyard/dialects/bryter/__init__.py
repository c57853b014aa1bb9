"""The BRYTER Execution API: sessions that a person answers in the browser (a later issue)."""
