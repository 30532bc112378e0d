// The canvas of a lineage graph: drag, wheel, keys, click. What it shows is a scene of plain data.
import { forwardRef, useEffect, useImperativeHandle, useRef } from "react";
import { HEAD, LINE, NODE_WIDTH, bounds } from "./lineage_layout.js";
import { coloursOf, paint } from "./lineage_paint.js";

const MIN = 0.03;
const MAX = 2.2;
const GLIDE_MS = 220;
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const LineageCanvas = forwardRef(function LineageCanvas(
  { scene, label, describedBy, onNode, onColumn, onStep, zoomsAlways },
  handle,
) {
  const canvas = useRef(null);
  const live = useRef({ camera: { x: 0, y: 0, scale: 1 }, size: null, colours: null, frame: 0 });
  const now = useRef({});
  now.current = { scene, onNode, onColumn, onStep, zoomsAlways };

  const draw = () => {
    const state = live.current;
    if (state.frame) return;
    state.frame = requestAnimationFrame(() => {
      state.frame = 0;
      if (!canvas.current || !state.size) return;
      state.colours ??= coloursOf(canvas.current);
      paint(canvas.current.getContext("2d"), state.size, now.current.scene, state.camera, state.colours);
    });
  };
  const glide = (to) => {
    const state = live.current;
    const from = { ...state.camera };
    const begin = performance.now();
    const turn = (state.turn = (state.turn ?? 0) + 1);
    const step = (at) => {
      if (state.turn !== turn) return;
      const part = still() ? 1 : Math.min(1, Math.max(0, (at - begin) / GLIDE_MS));
      const eased = 1 - (1 - part) ** 3;
      for (const name of ["x", "y", "scale"]) state.camera[name] = from[name] + (to[name] - from[name]) * eased;
      draw();
      if (part < 1) requestAnimationFrame(step);
    };
    step(begin);
    requestAnimationFrame(step);
  };
  const fit = () => {
    const { size } = live.current;
    if (!size) return;
    const box = bounds(now.current.scene.nodes);
    const scale = Math.min(
      1, Math.max(MIN, Math.min(size.width / (box.right - box.left + 80), size.height / (box.bottom - box.top + 80))),
    );
    glide({
      scale,
      x: (box.left + box.right) / 2 - size.width / 2 / scale,
      y: (box.top + box.bottom) / 2 - size.height / 2 / scale,
    });
  };
  const show = (index) => {
    const { size, camera } = live.current;
    const node = now.current.scene.nodes[index];
    if (!size || !node) return;
    const scale = Math.max(camera.scale, 0.8);
    glide({
      scale,
      x: node.x + NODE_WIDTH / 2 - size.width / 2 / scale,
      y: node.y + Math.min(node.h, size.height / scale) / 2 - size.height / 2 / scale,
    });
  };
  const zoom = (factor, at) => {
    const { camera, size } = live.current;
    const point = at ?? { x: size.width / 2, y: size.height / 2 };
    const scale = Math.min(MAX, Math.max(MIN, camera.scale * factor));
    camera.x += point.x / camera.scale - point.x / scale;
    camera.y += point.y / camera.scale - point.y / scale;
    camera.scale = scale;
    draw();
  };
  useImperativeHandle(handle, () => ({ fit, show, zoom }));

  useEffect(() => {
    const element = canvas.current;
    const state = live.current;
    const watch = new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      const isFirst = !state.size;
      state.size = { width, height, ratio };
      element.width = Math.round(width * ratio);
      element.height = Math.round(height * ratio);
      if (isFirst) fit();
      draw();
    });
    watch.observe(element.parentElement);
    // The theme changes by a class of the document.
    const theme = new MutationObserver(() => {
      state.colours = null;
      draw();
    });
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    const wheel = (event) => {
      if (!now.current.zoomsAlways && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), { x: event.offsetX, y: event.offsetY });
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      watch.disconnect();
      theme.disconnect();
      element.removeEventListener("wheel", wheel);
      cancelAnimationFrame(state.frame);
      state.frame = 0;
    };
  }, []);
  useEffect(draw, [scene]);

  const hit = (event) => {
    const { camera } = live.current;
    const x = event.nativeEvent.offsetX / camera.scale + camera.x;
    const y = event.nativeEvent.offsetY / camera.scale + camera.y;
    const { nodes } = now.current.scene;
    const index = nodes.findIndex(
      (node) => x >= node.x && x <= node.x + NODE_WIDTH && y >= node.y && y <= node.y + node.h,
    );
    if (index < 0) return { index };
    const at = Math.floor((y - nodes[index].y - HEAD) / LINE);
    return { index, column: y - nodes[index].y > HEAD ? nodes[index].shown?.[at] : undefined };
  };
  const fingers = useRef(new Map());
  const down = (event) => {
    fingers.current.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: false });
    event.currentTarget.setPointerCapture(event.pointerId);
    live.current.turn = (live.current.turn ?? 0) + 1;
  };
  const move = (event) => {
    const finger = fingers.current.get(event.pointerId);
    if (!finger) {
      canvas.current.style.cursor = hit(event).index >= 0 ? "pointer" : "grab";
      return;
    }
    const [dx, dy] = [event.clientX - finger.x, event.clientY - finger.y];
    if (!finger.moved && Math.hypot(dx, dy) < 4) return;
    const others = [...fingers.current.entries()].filter(([id]) => id !== event.pointerId);
    if (others.length) {
      const other = others[0][1];
      const before = Math.hypot(finger.x - other.x, finger.y - other.y);
      const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      const box = canvas.current.getBoundingClientRect();
      zoom(after / Math.max(before, 1), { x: other.x - box.left, y: other.y - box.top });
      other.moved = true;
    } else {
      const { camera } = live.current;
      camera.x -= dx / camera.scale;
      camera.y -= dy / camera.scale;
      draw();
    }
    Object.assign(finger, { x: event.clientX, y: event.clientY, moved: true });
    canvas.current.style.cursor = "grabbing";
  };
  const up = (event) => {
    const finger = fingers.current.get(event.pointerId);
    fingers.current.delete(event.pointerId);
    if (!finger || finger.moved || event.type === "pointercancel") return;
    const found = hit(event);
    if (found.column !== undefined) now.current.onColumn(found.index, found.column);
    else now.current.onNode(found.index);
  };
  const keys = (event) => {
    const { camera } = live.current;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow && !event.altKey) {
      event.preventDefault();
      if (event.shiftKey || now.current.scene.selected < 0) {
        camera.x += (arrow[0] * 80) / camera.scale;
        camera.y += (arrow[1] * 80) / camera.scale;
        draw();
      } else now.current.onStep(arrow);
    } else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else if (event.key === "Escape") now.current.onNode(-1);
  };
  return (
    <canvas
      ref={canvas}
      tabIndex={0}
      role="application"
      aria-label={label}
      aria-describedby={describedBy}
      onPointerDown={down}
      onPointerMove={move}
      onPointerUp={up}
      onPointerCancel={up}
      onKeyDown={keys}
      style={{ touchAction: zoomsAlways ? "none" : "pan-y" }}
    />
  );
});
