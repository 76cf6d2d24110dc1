//! Names of invented people, teams and titles.

/// Given names.
pub const GIVEN: [&str; 48] = [
    "Ada", "Amir", "Ana", "Anton", "Aylin", "Beata", "Bela", "Bruno", "Chidi", "Clara", "Dario",
    "Dilan", "Edda", "Elif", "Emil", "Enzo", "Farah", "Femi", "Gita", "Hana", "Hugo", "Ida",
    "Imre", "Ines", "Ivo", "Jana", "Jonas", "Kaya", "Keiko", "Lena", "Levi", "Lin", "Mara",
    "Mateo", "Mina", "Nadia", "Noah", "Nuri", "Olga", "Oskar", "Pia", "Ravi", "Rosa", "Sami",
    "Tala", "Tove", "Yara", "Zoe",
];

/// Family names.
pub const FAMILY: [&str; 48] = [
    "Adler", "Almeida", "Arslan", "Bakker", "Banerjee", "Berg", "Castro", "Chen", "Costa", "Dahl",
    "Diaz", "Dubois", "Eriksen", "Farkas", "Ferrari", "Fischer", "Garcia", "Haddad", "Hansen",
    "Horvat", "Ito", "Jansen", "Kaya", "Keller", "Khan", "Kovac", "Kowalska", "Larsen", "Lehto",
    "Lindt", "Lopez", "Marin", "Mbeki", "Meyer", "Moreau", "Nagy", "Novak", "Okafor", "Park",
    "Popescu", "Rossi", "Sato", "Silva", "Singh", "Tran", "Vogel", "Weber", "Yilmaz",
];

/// Teams, which are groups and departments.
pub const TEAMS: [&str; 8] =
    ["Design", "Engineering", "Finance", "Legal", "Operations", "People", "Sales", "Support"];

/// Titles.
pub const TITLES: [&str; 6] = ["Assistant", "Specialist", "Senior", "Lead", "Manager", "Director"];
