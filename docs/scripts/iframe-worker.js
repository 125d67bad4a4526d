// A page that is opened from the disk may start no worker, and the search wants one. There it gets a hidden frame, which the
// script of the worker takes for its own world.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((resolve) => {
        this.frame.onload = () => {
          const world = this.frame.contentWindow;
          world.postMessage = (data) => this.onmessage?.(new MessageEvent("message", { data }));
          const script = world.document.createElement("script");
          script.src = String(url);
          script.onload = () => resolve(world);
          script.onerror = (event) => this.onerror?.(event);
          world.document.body.append(script);
        };
      });
      this.frame.srcdoc = "<body></body>";
      document.body.append(this.frame);
    }

    async postMessage(data) {
      (await this.ready).dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
