// What a dashboard of ours is, in the types that Grafana publishes with each version: node deploy/grafana/check.mjs
import type { Dashboard, FieldConfig, FieldConfigSource, Panel, RowPanel } from "@grafana/schema";
import type { Options as Stat } from "../../node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import type { Options as Text } from "../../node_modules/@grafana/schema/dist/types/raw/composable/text/panelcfg/x/types.gen";
import type {
  FieldConfig as Lines,
  Options as Graph,
} from "../../node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";

// Published with Prometheus's data source, not with the schema; these are the keys that we use.
interface Query {
  refId: string;
  datasource: { type: "prometheus"; uid: "prometheus" };
  expr: string;
  legendFormat: string;
  instant: boolean;
  range: boolean;
}

interface Fields<Custom> extends Omit<FieldConfigSource, "defaults"> {
  defaults: Omit<FieldConfig, "custom"> & { custom?: Custom };
}

interface Typed<Type extends string, Options> extends Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> {
  type: Type;
  options: Options;
}

interface Asking<Type extends string, Options, Custom> extends Typed<Type, Options> {
  fieldConfig: Fields<Custom>;
  targets: Query[];
}

export interface OurDashboard extends Omit<Dashboard, "panels"> {
  uid: string;
  title: string;
  panels: (RowPanel | Asking<"stat", Stat, never> | Asking<"timeseries", Graph, Lines> | Typed<"text", Text>)[];
}
