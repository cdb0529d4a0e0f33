// The page alone, outside of Airflow's page.

import { showHistory } from "./history.js";

showHistory(document);
