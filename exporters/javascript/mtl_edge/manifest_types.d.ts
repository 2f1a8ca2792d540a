// What the client reads of a manifest.

export interface Manifest {
  readonly format: number;
  readonly name: string;
  readonly variant: string;
  readonly sha256: string;
  readonly target: string | null;
  readonly tasks: readonly { readonly name: string; readonly kind: string; readonly classes?: number }[];
  readonly inputs: readonly [ManifestInput];
}

export interface ManifestInput {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
  readonly preprocessing: PixelsSteps | TableSteps | TokensSteps;
}

export interface PixelsSteps {
  readonly kind: "pixels";
  readonly raw_dtype: string;
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export interface TableSteps {
  readonly kind: "table";
  readonly columns: readonly {
    readonly type: "numeric" | "categorical";
    readonly name: string;
    readonly categories?: readonly string[];
  }[];
}

export interface TokensSteps {
  readonly kind: "tokens";
  readonly vocabulary: readonly string[];
  readonly length: number;
}
