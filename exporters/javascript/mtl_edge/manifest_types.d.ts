// What the client reads of a manifest.

export interface Manifest {
  readonly format: number;
  readonly name: string;
  readonly variant: string;
  readonly sha256: string;
  readonly target: string | null;
  readonly tasks: readonly { readonly name: string; readonly kind: string; readonly classes?: number }[];
  readonly inputs: readonly [ManifestInput, ...ManifestInput[]];
}

export interface ManifestInput {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
  readonly preprocessing: PixelsSteps | RawPixelsSteps | TableSteps | TokensSteps | RawNumbersSteps | RawCategoriesSteps;
  /** What the data calls it, where that is another name. */
  readonly reads?: string | null;
}

export interface PixelsSteps {
  readonly kind: "pixels";
  readonly raw_dtype: string;
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** The graph does what `pixels` says; if it has a size, it resizes images `(N, H, W, C)` of any size to it first. */
export interface RawPixelsSteps {
  readonly kind: "raw-pixels";
  readonly pixels: PixelsSteps;
  readonly size: readonly [height: number, width: number] | null;
}

export interface TableSteps {
  readonly kind: "table";
  readonly columns: readonly {
    readonly type: "numeric" | "categorical";
    readonly name: string;
    readonly categories?: readonly string[];
  }[];
}

/** The numbers of rows that the graph encodes; `places` are those of the columns among all of the row's. */
export interface RawNumbersSteps {
  readonly kind: "raw-numbers";
  readonly columns: readonly string[];
  readonly places: readonly number[];
}

/** The categories of such rows. */
export interface RawCategoriesSteps {
  readonly kind: "raw-categories";
  readonly columns: readonly { readonly name: string; readonly categories: readonly string[] }[];
  readonly places: readonly number[];
}

/** Rows that the graph encodes: its inputs of numbers, if it has one, and of categories. */
export interface RawRowsSteps {
  readonly kind: "raw-rows";
  readonly columns: TableSteps["columns"];
  readonly numbers: string | null;
  readonly categories: string;
}

export interface TokensSteps {
  readonly kind: "tokens";
  readonly vocabulary: readonly string[];
  readonly length: number;
}
