// Whether the dashboards are valid for the version of Grafana in package.json: its types as a JSON schema, without any
// key or value that they do not have. Prints a line for each thing that is wrong; exit code 1 where there is one.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const read = (name) => JSON.parse(readFileSync(here(name), "utf8"));

const options = { path: here("dashboard.ts"), type: "OurDashboard", expose: "none", skipTypeCheck: true };
const schema = createGenerator(options).createSchema("OurDashboard");
const ajv = new Ajv({ strict: false, allErrors: true, verbose: true });
const valid = ajv.compile(schema);

// A panel that is wrong is wrong for each type of panel there is: what is said for its own type is what is meant.
const types = ["row", "stat", "timeseries", "text"];
const meant = (error, dashboard) => {
  const number = error.instancePath.match(/^\/panels\/(\d+)/)?.[1];
  const type = number && types.indexOf(dashboard.panels[number].type);
  return !number || (type >= 0 ? error.schemaPath.includes(`/anyOf/${type}/`) : error.keyword === "const");
};

let wrong = 0;
for (const name of readdirSync(here("dashboards")).sort()) {
  const dashboard = read(`dashboards/${name}`);
  if (valid(dashboard)) continue;
  for (const error of valid.errors.filter((error) => meant(error, dashboard))) {
    const what = error.params.additionalProperty ?? JSON.stringify(error.data)?.slice(0, 60);
    console.error(`deploy/grafana/dashboards/${name}${error.instancePath}: ${error.message} (${what})`);
  }
  wrong += 1;
}
if (wrong) {
  const { version } = read("../../node_modules/@grafana/schema/package.json");
  console.error(`${wrong} dashboards are not valid for Grafana ${version}.`);
  process.exit(1);
}
