// Kept there by earlier versions.
    localStorage.removeItem("authorized");
