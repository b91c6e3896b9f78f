// What the scripts of the page pass around. A scene in JSON is walkthrough/scene.py's, field by field.

type Point = [number, number];
type Rect = [number, number, number, number]; // x, y, width, height in CSS pixels
type Sides = [number, number, number, number]; // x1, y1, x2, y2 in the panel's pixels
type Row = number[]; // a box in a field: its sides, then what travels with it, such as a class

interface BoxesLayer {
  kind: string;
  xyxy: Sides[];
  labels: string[];
  drag: string;
  pick: string;
}

interface ScenePanel {
  kind: string;
  title?: string;
  caption?: string;
  [more: string]: any;
}

interface PanelWindow {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** What places in a panel follow from. */
interface Scaled {
  panel: PanelWindow;
  scale: number; // CSS pixels for one of the panel's
}

/** A box as those hear of it who do not see it. */
interface NamedBox {
  xyxy: Sides;
  name: string; // says all, and is not drawn
  label: string;
  colour: string | number;
}

/** A box as the reader finds it: which row of which field. */
interface FoundBox extends NamedBox {
  field: string; // "pick ..." where it cannot be moved
  row: number;
  pick: string;
}

interface Look {
  meaning: Record<string, string>;
  classes: string[];
  dashes: string[];
  markers: string[];
  shades: string[];
  themes: Record<string, any>;
}

interface Model {
  get(name: string): any;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(message: object, callbacks?: unknown, buffers?: unknown[]): void;
  on(event: string, listener: (...given: any[]) => void): void;
  off(event: string, listener: (...given: any[]) => void): void;
}

/** An explorer on the page: page.js makes it, live.js builds its nodes. */
interface Page {
  id: string;
  model: Model;
  look: Look;
  root: HTMLElement;
  isPending(name: string): boolean;
  pending(name: string): any;
  value(name: string): any;
  change(name: string, value: unknown): void;
  send(message: object, buffers?: unknown[]): void;
  act(method: string): void;
  say(text: string): void;
  tell(sentence: string): void;
  isDark(): boolean;
  themeName(): string;
  theme(): any;
  colour(value: string | number): string;
  font(): string;
  [more: string]: any;
}

/** A panel on its canvas: canvas.js. */
interface View extends Scaled {
  page: Page;
  node: HTMLCanvasElement;
  frame: HTMLElement; // around it: scrolled where there is less room than the panel has to have
  ctx: CanvasRenderingContext2D;
  panel: any;
  maps: (number[] | null)[];
  chosen: { field: string; row: number; [more: string]: any } | null;
  over: any;
  classes: HTMLSelectElement | null; // the list of classes at the chosen box
  held?: any;
  draw(): void;
  light(): void;
  show(panel: any, width: number, height: number): void;
}

interface Window {
  Plotly?: unknown;
}
